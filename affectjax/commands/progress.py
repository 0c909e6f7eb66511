"""Progress of a table, or of anything counted: a live line on a terminal, plain lines otherwise."""

import sys
import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

from affectjax import STARTED

_PLAIN_SECONDS = 15.0  # between plain lines of one cell
_LIVE_SECONDS = 0.25


class Progress:
  """Shows on stderr which cell of how many runs, its step, examples per second and the time left.

  Args:
    total: cells of the table.
    finished: those of them that were done before.
    enabled: False on all hosts but the first, which then show nothing.
  """

  def __init__(self, total: int, finished: int, enabled: bool = True):
    self._total, self._number, self._enabled = total, finished, enabled
    self._console = Console(file=sys.stderr)
    self._live = Live(console=self._console, refresh_per_second=4, transient=True)
    self._name, self._began, self._shown_at, self._first = '', 0.0, 0.0, True

  def __enter__(self) -> 'Progress':
    if self._console.is_terminal and self._enabled:
      self._live.start()
    return self

  def __exit__(self, *error) -> None:
    if self._live.is_started:
      self._live.stop()

  def _show(self, text: str, final: bool) -> None:
    if not self._enabled:
      return
    if self._live.is_started and not final:
      self._live.update(Text(text))
    elif self._live.is_started:
      self._live.console.print(Text(text), highlight=False, soft_wrap=True)
    else:
      print(text, file=sys.stderr, flush=True)

  def cell(self, row: str, fold: str, seed: int) -> None:
    """To be called when a cell begins."""
    self._number += 1
    self._name = f'cell {self._number} of {self._total}: {row}, fold {fold}, seed {seed}'
    self._began = self._shown_at = time.monotonic()
    self._first_step = 0
    if self._live.is_started:
      self._show(self._name, final=False)

  def step(self, step: int, steps: int, rate: float) -> None:
    """To be called after step `step` of `steps`; `rate` in examples per second, 0 while unknown."""
    now = time.monotonic()
    if self._first:
      self._first = False
      self._show(f'first training step {now - STARTED:.1f} s after the start', final=True)
    if not self._first_step:
      self._first_step, self._began = step, now
    if now - self._shown_at < (_LIVE_SECONDS if self._live.is_started else _PLAIN_SECONDS):
      return
    self._shown_at = now
    done = step - self._first_step
    left = (now - self._began) / done * (steps - step) if done else 0.0
    clock = f'{int(left) // 60}:{int(left) % 60:02d}'
    self._show(f'{self._name}, step {step} of {steps}, {rate:,.0f} examples/s, eta {clock}', final=False)

  def finished(self, reason: str | None, seconds: float) -> None:
    """To be called when a cell has ended, after so many seconds; `reason` is why it failed, None if it did not."""
    result = f'done in {seconds:.1f} s' if reason is None else f'FAILED: {reason}'
    self._show(f'{self._name}: {result}', final=True)


class Counted:
  """Progress of anything counted, on stderr: a line that is drawn over on a terminal, a line now and then otherwise.

  Args:
    name: of what is done, begins the line.
    unit: of what is counted.
  """

  def __init__(self, name: str, unit: str = 'examples'):
    self._unit = unit
    self._name, self._began, self._shown_at, self._first = name, 0.0, time.monotonic(), None
    self._live = sys.stderr.isatty()

  def __call__(self, done: int, total: int) -> None:
    """Shows how many of how many are done, if the last line is old enough or this is the end."""
    now = time.monotonic()
    if self._first is None:
      self._first, self._began, self._shown_at = done, now, now
    if now - self._shown_at < (_LIVE_SECONDS if self._live else _PLAIN_SECONDS) and done < total:
      return
    self._shown_at = now
    rate = (done - self._first) / max(now - self._began, 1e-9)
    left = int((total - done) / rate) if rate else 0
    text = f'{self._name}: {done} of {total}, {rate:,.0f} {self._unit}/s, eta {left // 60}:{left % 60:02d}'
    print(f'\r{text}\x1b[K' if self._live else text, end='' if self._live else '\n', file=sys.stderr, flush=True)

  def tell(self, line: str) -> None:
    """Writes a line that stays."""
    self.close()
    print(line, file=sys.stderr, flush=True)

  def close(self) -> None:
    """Takes the line away from a terminal."""
    if self._live:
      print('\r\x1b[K', end='', file=sys.stderr, flush=True)
