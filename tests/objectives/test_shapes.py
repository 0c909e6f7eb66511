"""Every objective refuses arrays of another shape where they enter, before they broadcast to something else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from affectjax.objectives import ambiguity, bayes, contrastive, dirichlet, distributions, regression, student_t

B, ROWS = jnp.ones(4), jnp.ones((4, 3))
SHARES, EXPERTS = jnp.full((4, 3), 1 / 3), jnp.full((4, 2, 3), 1 / 3)


@pytest.mark.parametrize(('call', 'said'), [
  (lambda: regression.squared_error(B, B[:, None]), 'one shape'),
  (lambda: regression.ccc(B, B, B[:, None]), 'one shape'),
  (lambda: contrastive.cosine_similarity(B, B), 'embeddings are'),
  (lambda: contrastive.cosine_embedding(ROWS, ROWS, B[:, None]), '`same` is'),
  (lambda: dirichlet.evidential(ROWS, ROWS[0]), 'votes'),
  (lambda: dirichlet.prior(ROWS, ROWS[:, :2]), 'votes'),
  (lambda: distributions.kl(SHARES, SHARES[:, :1]), 'the same K classes'),
  (lambda: distributions.js(SHARES[:, :1], SHARES), 'the same K classes'),
  (lambda: distributions.bhattacharyya_coefficient(SHARES, SHARES[:, :2]), 'the same K classes'),
  (lambda: distributions.soft_cross_entropy(SHARES, SHARES[:, :1]), 'the same K classes'),
  (lambda: distributions.class_balanced_cross_entropy(SHARES, jnp.zeros((4, 1), int), B[:3]), 'labels of logits'),
  (lambda: distributions.class_balanced_cross_entropy(SHARES, jnp.zeros(4, int), B), 'weights of logits'),
  (lambda: ambiguity.rater_term(SHARES, SHARES[:1]), 'the student'),
  (lambda: ambiguity.reliability(SHARES, EXPERTS[0], 1.0), 'experts of a distribution'),
  (lambda: ambiguity.modality_term(SHARES, EXPERTS, EXPERTS[:, :1, 0]), 'who is present'),
  (lambda: ambiguity.expert_term(SHARES, EXPERTS, jnp.ones((4, 3), bool)), 'who is present'),
  (lambda: bayes.kl_closed({'w': ROWS}, {'w': B}), 'shape'),
  (lambda: bayes.log_ratio(ROWS[0], ROWS, ROWS), 'draws'),
  (lambda: student_t.kl_normal_normal(B, B[:, None], B, B), 'one rank'),
  (lambda: student_t.kl_t_normal(B, B, jnp.full((4, 1), 5.0), B, B), 'one rank'),
  (lambda: student_t.kl_t_t(B[:, None], B, 5, B, B, 7), 'one rank'),
])  # fmt: skip
def test_another_shape_is_refused(call, said):
  with pytest.raises(AssertionError, match=said):
    call()


def test_shapes_are_looked_at_while_a_program_is_made_and_not_on_the_host():
  with pytest.raises(AssertionError, match='one rank'):
    jax.eval_shape(student_t.kl_normal_normal, B, B[:, None], B, B)
  assert student_t.kl_normal_normal(np.ones(4), np.ones((4, 1)), 0.0, 1.0, np).shape == (4, 4)
