"""A workdir as a run leaves it, without anything trained; and what is read in the tables and figures made of it."""

import csv
import io
import json

import numpy as np

CCC, RMSE, ACC = 'ccc.pooled.valence', 'rmse.pooled.valence', 'acc.same'
CORPUS = {'corpus': 'afew_va', 'version': '1.0.0', 'sha256': '0123456789abcdef' * 4, 'counts': {'test': 9}}


def predictions(row, fold, seed, groups=12, n=8):
  """A cell's arrays; row 'good' errs less than 'base', and 'pairs' has no valence."""
  rng = np.random.default_rng(int(fold))
  group = np.repeat(np.arange(groups), n)
  valence = rng.normal(size=groups)[group] * 0.3 + rng.normal(size=groups * n) * 0.3
  error = rng.normal(size=groups)[group] * 0.2
  own = np.random.default_rng([len(row), int(fold), seed]).normal(size=groups * n)
  out = {
    'id': np.arange(groups * n).astype(str), 'group': np.array([f'actor {fold}-{g}' for g in group]),
    'item': np.array([f'video {fold}-{g}' for g in group]),
  }  # fmt: skip
  if row == 'pairs':
    return out | {'same': own > 0, 'same_hat': own > rng.normal(size=groups * n)}
  return out | {'valence': valence, 'valence_hat': valence + error + own * {'good': 0.1}.get(row, 0.4)}


def build(path, rows=('base', 'good', 'pairs'), folds=('0', '1'), seeds=(0, 1), kind='prepared', arrays=None, **table):
  """A workdir as a run leaves it; `arrays`: (row, fold, seed) -> arrays, or None for a cell not run."""
  cells, lines = [], []
  path.mkdir(parents=True, exist_ok=True)
  for row in rows:
    for fold in folds:
      for seed in seeds:
        where = f'cells/{row}/{fold}-{seed}-{row}'
        cell = {'row': row, 'fold': fold, 'seed': seed, 'fingerprint': f'{row} print'}
        cells.append({**cell, 'dir': where})
        content = (arrays or predictions)(row, fold, seed)
        if content is None:
          continue
        (path / where).mkdir(parents=True, exist_ok=True)
        np.savez(path / where / 'predictions.npz', **{f'test/{key}': column for key, column in content.items()})
        lines.append({**cell, 'data': {'afew_va': {**CORPUS, 'kind': kind}}, 'cell': where, 'revision': 'a1b2c3'})
  definition = {
    'title': 'Few-shot labelling', 'table': 'main', 'experiment': 'mtclar', 'kind': kind, 'rows': list(rows),
    'metrics': [CCC, RMSE, ACC], 'folds': {row: list(folds) for row in rows}, 'seeds': list(seeds),
    'baselines': {'good': 'base'}, 'published': [], 'claims': [], 'notes': [], 'cells': cells, **table,
  }  # fmt: skip
  (path / 'table.json').write_text(json.dumps(definition))
  (path / 'results.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
  return path


def rated(row, fold, seed, groups=12, windows=6, frames=5, raters=4):
  """A cell's arrays with predicted distributions; row 'good' predicts the spread better, more so where all agree."""
  rng = np.random.default_rng(int(fold))
  shape = (groups * windows, frames)
  agreement = np.arange(groups * windows) % 3
  spread = 0.1 + 0.3 * rng.random(shape)
  mean = rng.normal(size=shape) * 0.3
  ratings = mean[..., None] + spread[..., None] * rng.normal(size=(*shape, raters))
  noise = np.random.default_rng([len(row), int(fold), seed]).normal(size=shape)
  off = {'good': 0.3, 'base': 0.6}[row] * (1 + agreement[:, None] * (row == 'base')) * noise
  group = np.repeat(np.arange(groups), windows)
  return {
    'id': np.arange(len(group)).astype(str), 'group': np.array([f's{fold}-{g}' for g in group]),
    'item': np.array([f'r{fold}-{g}' for g in group]), 'time_s': np.arange(shape[0] * frames).reshape(shape) / 5,
    'arousal': ratings.mean(-1), 'arousal_hat': mean, 'arousal_spread': ratings.std(-1, ddof=1),
    'arousal_spread_hat': spread * np.exp(off), 'arousal_raters': np.full(shape, raters),
    'arousal_df_hat': np.full(shape, np.inf), 'arousal_ratings': ratings, 'arousal_agreement': agreement,
    'arousal_post': ratings.mean(-1), 'arousal_post_hat': mean * 1.1,
  }  # fmt: skip


def section(markdown, heading):
  """The lines of a section, up to the next heading."""
  lines = markdown.split('\n')
  start = next(i for i, line in enumerate(lines) if line.lstrip('# ').startswith(heading) and line[0] == '#')
  end = next((i for i in range(start + 1, len(lines)) if lines[i].startswith('#')), len(lines))
  return lines[start:end]


def cells(markdown, heading):
  """A section's table: first column -> the other cells."""
  rows = [line.strip('| ').split(' | ') for line in section(markdown, heading) if line.startswith('|')]
  return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows[2:]}


def rows_of(text):
  return list(csv.DictReader(io.StringIO(text)))


def drawn(workdir):
  return sorted(p.name for p in (workdir / 'figures').iterdir())


def words(figure):
  """Everything that a figure says."""
  from matplotlib.text import Text

  return '\n'.join(t.get_text() for t in figure.findobj(Text))
