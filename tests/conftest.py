"""Eight virtual CPU devices for every test; set before JAX starts."""

import os

os.environ['XLA_FLAGS'] = os.environ.get('XLA_FLAGS', '') + ' --xla_force_host_platform_device_count=8'
os.environ['NPROC'] = '16'  # threads for the all-reduces of eight devices; fewer than devices deadlock
os.environ['JAX_PLATFORMS'] = 'cpu'

from absl import flags

flags.FLAGS.mark_as_parsed()  # grain's worker pool reads absl flags
