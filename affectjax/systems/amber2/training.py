"""What is traced: losses of one or several copies of the heads, trained side by side, and their predictions.

Copies are a leading axis [S, ...] of parameters and optimiser state. The settings of a search are copies that start
alike and see the same dropout, so that nothing but the setting differs; the members of an ensemble start apart. No
copy's gradient, clipping or moments depend on another's.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from affectjax.engine import optim, parallel, steps
from affectjax.engine.types import Batch, TrainState
from affectjax.objectives import ambiguity, dirichlet, distributions
from affectjax.systems.amber2.network import FUSION, AmbER2

LOSSES = ('amber2', 'cross_entropy', 'soft', 'evidential', 'prior')
PASSED_ON = ('votes', 'shares', 'emotion', 'first', 'level', 'true_shares', 'reason')  # of a batch, to be scored
_INIT = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Spec:
  """What is traced: equal specs share what was compiled. Numbers that a search varies are not in it (`extra`).

  Attributes:
    net: the heads.
    loss: of `LOSSES`; 'amber2' needs the student and one expert at least, the others train every head for itself.
    student: the head that answers.
    divergence, base, stop: of the AmbER^2 terms.
    uniform: reliability weights are all alike.
    joint: experts learn at once (DEF-1); without they stay as they are (DEF-2).
    regulariser: of the evidential loss.
    likelihood: of the Dirichlet prior loss.
    copies: S.
    members: whether copies are members of an ensemble, averaged, or the settings of a search.
  """

  net: AmbER2
  loss: str
  student: str
  divergence: str
  base: str
  stop: bool
  uniform: bool
  joint: bool
  regulariser: str
  likelihood: str
  copies: int
  members: bool

  @property
  def experts(self) -> tuple[str, ...]:
    """The heads other than the student's."""
    return tuple(h for h in self.net.heads if h != self.student)


def _present(spec: Spec, x: Mapping[str, jax.Array], heads: tuple[str, ...]) -> jax.Array:
  """[B, M] bool, whether each head has anything to go by."""
  present = {m: x[f'{m}_mask'].any(1) for m, _ in spec.net.inputs}
  present[FUSION] = functools.reduce(jnp.logical_or, present.values())
  return jnp.stack([present[h] for h in heads], 1)


def _head_loss(spec: Spec, numbers: Mapping[str, jax.Array], logits: jax.Array, batch: Batch) -> jax.Array:
  """The loss of one head that learns for itself, [B]."""
  if spec.loss == 'soft':
    return distributions.soft_cross_entropy(logits, batch['shares'])
  if spec.loss == 'evidential':
    alpha = concentrations(spec, logits)
    return dirichlet.evidential(alpha, batch['votes'], spec.regulariser, numbers['regulariser'])
  if spec.loss == 'prior':
    return dirichlet.prior(concentrations(spec, logits), batch['votes'], spec.likelihood)
  label = jnp.maximum(batch['label'], 0)
  return distributions.class_balanced_cross_entropy(logits, label, numbers['class_weights'])


def concentrations(spec: Spec, logits: jax.Array) -> jax.Array:
  """alpha [..., K] of the losses that predict a Dirichlet: ReLU + 1 as in the evidential source, or an exponential."""
  return jax.nn.relu(logits) + 1.0 if spec.loss == 'evidential' else jnp.exp(jnp.clip(logits, -20.0, 20.0))


def shares(spec: Spec, logits: jax.Array) -> jax.Array:
  """The predicted label distribution [..., K]."""
  if spec.loss in ('evidential', 'prior'):
    return dirichlet.mean(concentrations(spec, logits))
  return jax.nn.softmax(logits, -1)


def _copy_loss(spec: Spec, params, numbers, x, batch, key) -> tuple[jax.Array, dict[str, jax.Array]]:
  """One copy: losses [B], and the means of their terms over the real examples here."""
  logits = spec.net.apply({'params': params}, x, True, rngs={'dropout': key})
  if spec.loss != 'amber2':
    present = _present(spec, x, spec.net.heads)  # [B, M]
    each = [_head_loss(spec, numbers, logits[h], batch) for h in spec.net.heads]
    return sum(jnp.where(present[:, i], loss, 0.0) for i, loss in enumerate(each)), {}
  present = _present(spec, x, spec.experts)
  given = {h: jax.nn.softmax(logits[h], -1) for h in spec.net.heads}
  terms = ambiguity.total(
    batch['shares'], given[spec.student], jnp.stack([given[h] for h in spec.experts], 1),
    lambda_rai=numbers['lambda_rai'], lambda_mai=numbers['lambda_mai'],
    kappa=0.0 if spec.uniform else numbers['kappa'], present=present, name=spec.divergence, base=spec.base,
    stop=spec.stop, joint=spec.joint,
  )  # fmt: skip
  weight = batch['mask'] / jnp.maximum(batch['mask'].sum(), 1.0)
  alone = numbers['lambda_rai'] * terms['experts'] if spec.joint else jnp.zeros_like(terms['loss'])
  terms['loss'] = jnp.where(_present(spec, x, (spec.student,))[:, 0], terms['loss'], alone)  # nothing to go by
  return terms['loss'], {k: jnp.sum(weight * terms[k]) for k in ('rai', 'mai', 'experts')}


def make_loss(spec: Spec):
  """The loss of all copies together, for `steps.gradient_step`: their sum, per example."""

  def loss(params, state: TrainState, batch: Batch, keys: steps.Keys) -> steps.Losses:
    x = steps.standardised(batch, state.extra['input'])
    keys_ = [jax.random.fold_in(keys.device, i if spec.members else 0) for i in range(spec.copies)]
    one = functools.partial(_copy_loss, spec)
    losses, scalars = jax.vmap(one, (0, 0, None, None, 0))(params, state.extra['numbers'], x, batch, jnp.stack(keys_))
    return steps.Losses(losses.sum(0), {k: v.mean() for k, v in scalars.items()}, state.extra)

  return loss


def frozen(spec: Spec) -> tuple[str, ...]:
  """The modules that are not trained: the experts of the two-stage form, with the gate if the fusion head is one."""
  if spec.joint:
    return ()
  return (*(f'head_{h}' for h in spec.experts), *(['gate'] if FUSION in spec.experts else []))


@functools.lru_cache(maxsize=parallel.PROGRAMS)
def _step(spec: Spec, config: tuple, length: int):
  return steps.gradient_step(make_loss(spec), optim.each(optim.make(optim.unkey(config), length, frozen(spec))))


def make_step(spec: Spec, config: Mapping[str, Any], length: int):
  """The update, the same function for all cells that share what is traced."""
  # folds differ in length, which must not compile again what does not depend on it
  return _step(spec, optim.key(config), 0 if config['schedule'] == 'constant' else length)


def init(spec: Spec, config: Mapping[str, Any], length: int, extra, key: jax.Array, batch: Batch) -> TrainState:
  """The state before the first step."""
  small = {m: jnp.zeros((1, 1, width)) for m, width in spec.net.inputs}
  small |= {f'{m}_mask': jnp.ones((1, 1), bool) for m, _ in spec.net.inputs}
  keys = [jax.random.fold_in(key, _INIT - (i if spec.members else 0)) for i in range(spec.copies)]
  params = _initialiser(spec.net)(jnp.stack(keys), small)
  return TrainState.create(params, optim.each(optim.make(config, length, frozen(spec))), key, extra)


@functools.lru_cache(maxsize=parallel.PROGRAMS)
def _initialiser(net: AmbER2):
  one = lambda key, x: net.init(key, x, False)['params']
  return jax.jit(jax.vmap(one, (0, None)), compiler_options={'xla_backend_optimization_level': 0})


@functools.lru_cache(maxsize=parallel.PROGRAMS)
def make_predict(spec: Spec):
  """`share_<head>` [B, S, K], [B, K] of one copy or an ensemble; `share_fusion_<modality>`: of that modality alone."""

  def predict(state: TrainState, batch: Batch) -> dict[str, jax.Array]:
    x = steps.standardised(batch, state.extra['input'])
    logits = jax.vmap(lambda p: spec.net.apply({'params': p}, x, False, alone=True))(state.params)
    out = {}
    for head, values in logits.items():
      each = shares(spec, values)  # [S, B, K]
      out[f'share_{head}'] = each.mean(0) if spec.members or spec.copies == 1 else jnp.swapaxes(each, 0, 1)
    kept = (*PASSED_ON, *(f'{m}_present' for m, _ in spec.net.inputs))
    return {**out, **{k: batch[k] for k in kept if k in batch}}

  return predict
