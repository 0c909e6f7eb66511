"""What every test run stands on: eight virtual CPU devices, programs that compile quickly, processes that stay small.

Every compiled program adds memory mappings to its process, and Linux allows a process 65,530; so all that a module
compiled is let go after it, and a test that leaves its process too large fails.
"""

import ctypes
import functools
import gc
import os
import pathlib
import platform
import resource
import shutil
import sys
import tempfile

import pytest
from absl import flags

MAPPINGS, GIGABYTES = 20_000, 3.0  # what a test may leave its process with
# compiles in a fifth of the time, and in one thread, for the workers share the cores
QUICK = (
  '--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1'
)
LRU_CACHE = type(functools.lru_cache(lambda: None))

pytest.register_assert_rewrite('tests.helpers')  # a failure there says as much as one in a test
flags.FLAGS.mark_as_parsed()  # grain's worker pool reads absl flags
os.environ.pop('PYTHONDONTWRITEBYTECODE', None)  # or every process that a test starts would parse all it imports
sys.dont_write_bytecode = False


def pytest_addoption(parser):
  parser.addoption('--optimised', action='store_true', help='compile as the product does, instead of quickly')


def pytest_configure(config):
  """Sets what JAX reads when it starts; the processes of a run share what they compiled, in a folder of the run."""
  quick = '' if config.getoption('optimised') else QUICK
  os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} --xla_force_host_platform_device_count=8 {quick}'
  os.environ['NPROC'] = '16'  # threads for the all-reduces of eight devices; fewer than devices deadlock
  os.environ['JAX_PLATFORMS'] = 'cpu'
  if config.getoption('numprocesses', None):
    os.environ['OPENBLAS_NUM_THREADS'] = '1'  # the workers share the cores; its threads would wait for them busily
  os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
  os.environ['JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES'] = '-1'
  if not hasattr(config, 'workerinput'):
    folder = tempfile.mkdtemp(prefix='affectjax-tests-')
    os.environ['JAX_COMPILATION_CACHE_DIR'] = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
  config.pluginmanager.register(_Guard())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
  """Of a `campaign(n)` one case in n is in the quick set, the others are slow. Benchmarks measure optimised code."""
  for item in items:
    if item.get_closest_marker('benchmark') and not config.getoption('optimised'):
      raise pytest.UsageError('a benchmark measures what training compiles; add --optimised')
    campaign = item.get_closest_marker('campaign')
    if campaign and sum(item.callspec.indices.values()) % campaign.args[0]:
      item.add_marker(pytest.mark.slow)


def pytest_collection_finish(session):
  gc.collect()
  gc.freeze()  # modules and tests stay; the collections after each module need not look through them
  gc.set_threshold(50_000, 20, 100)  # nor need there be many before


@pytest.fixture(scope='module', autouse=True)
def _after_each_module():
  yield
  _let_go()


@pytest.fixture(autouse=True)
def _after_each_long_proof(request):
  """They share little of what they compile."""
  yield
  if request.node.get_closest_marker('slow'):
    _let_go()


def _let_go() -> None:
  """What was compiled, what the package and the tests' helpers cached, and freed memory."""
  for name, module in list(sys.modules.items()):
    if name.split('.')[0] in ('affectjax', 'tests'):
      for value in list(vars(module).values()):
        if isinstance(value, LRU_CACHE):
          value.cache_clear()
  if 'jax' in sys.modules:
    sys.modules['jax'].clear_caches()
  gc.collect()
  if platform.libc_ver()[0] == 'glibc':
    ctypes.CDLL(None).malloc_trim(0)


class _Size:
  """How large this process is. Counting thousands of mappings takes longer than most tests: it is done after the last
  test of a module, and where the process's address space has changed by the size of 500 of the smallest mappings."""

  def __init__(self):
    self._extent, self._mappings = 0, 0  # kB, count

  def __call__(self, anew: bool = False) -> tuple[int, float]:
    """Memory mappings now (0 where the system does not say), and the most memory held so far, in GB."""
    status = pathlib.Path('/proc/self/status')
    if not status.is_file():
      return 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9  # macOS gives bytes
    fields = dict(line.split(':', 1) for line in status.read_text().splitlines())
    extent, peak = (int(fields[key].split()[0]) for key in ('VmSize', 'VmHWM'))
    if anew or abs(extent - self._extent) > 500 * 4:
      with open('/proc/self/maps', 'rb') as file:
        self._extent, self._mappings = extent, file.read().count(b'\n')
    return self._mappings, peak * 1024 / 1e9


class _Guard:
  """Fails the test that takes its process past a limit, and tells the largest sizes of a run at its end."""

  def __init__(self):
    self._measure = _Size()
    self._size = self._measure()
    self._largest = {'mappings': (0, 'no test'), 'gigabytes': (0.0, 'no test')}
    self._last_of_module = False

  @pytest.hookimpl(tryfirst=True)
  def pytest_runtest_teardown(self, item, nextitem):
    self._last_of_module = nextitem is None or nextitem.path != item.path

  @pytest.hookimpl(wrapper=True)
  def pytest_runtest_makereport(self, item, call):
    report = yield
    before, self._size = self._size, self._measure(call.when == 'teardown' and self._last_of_module)
    report.size = self._size
    if self._size[0] > MAPPINGS >= before[0] or self._size[1] > GIGABYTES >= before[1]:
      line = (
        f'{item.nodeid} ({call.when}): its process grew from {before[0]:,} to {self._size[0]:,} memory mappings, from '
        f'{before[1]:.2f} to {self._size[1]:.2f} GB; at most {MAPPINGS:,} and {GIGABYTES:g} GB; compile fewer programs'
      )
      report.longrepr = f'{report.longrepr}\n{line}' if report.failed else line
      report.outcome = 'failed'
    return report

  def pytest_runtest_logreport(self, report):
    mappings, gigabytes = getattr(report, 'size', (0, 0.0))  # of a process that died, there is none
    self._largest['mappings'] = max(self._largest['mappings'], (mappings, report.nodeid))
    self._largest['gigabytes'] = max(self._largest['gigabytes'], (gigabytes, report.nodeid))

  def pytest_terminal_summary(self, terminalreporter):
    (mappings, most), (gigabytes, largest) = self._largest['mappings'], self._largest['gigabytes']
    terminalreporter.write_line(f'largest process: {mappings:,} memory mappings of {MAPPINGS:,} ({most}), '
                                f'{gigabytes:.2f} GB of {GIGABYTES:g} ({largest})')  # fmt: skip
