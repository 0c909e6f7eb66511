"""EmoBank in miniature, in the layouts of its clone and of the data pack."""

import csv

import numpy as np

FILES = ('emobank.csv', 'individual_reader_ratings.csv', 'individual_writer_ratings.csv', 'meta.tsv')
SENTENCES = {  # id -> split, text, document, category, readers, writers
  'blog_5_9': ('train', 'I wrote, "all that"; again.', 'blog', 'blog', ['333', '453', '111'], ['343', '433']),
  'blog_1_4': ('dev', 'What do I mean?', 'blog', 'blog', ['222', '224'], ['111', '222', '322']),
  'news_1': ('test', 'Storm hits – thousands flee', 'news', 'SemEval', ['141', '252'], ['151', '242']),
  'tale_7_8': ('train', '.."', 'tale', 'fiction', ['333', '333'], ['333', '333']),
}
UNTOLD = 'news_2'  # rated, without text
DROPPED = {**dict.fromkeys(SENTENCES, ()), 'blog_5_9': (2,), 'blog_1_4': (2,)}  # place of 1, 1, 1 among the ratings


def write(source, layout='clone'):
  """A small copy in the layout of the clone or of the pack."""
  folder = source / 'corpus' if layout == 'clone' else source
  folder.mkdir(parents=True, exist_ok=True)
  sentences, rated = [['id', 'split', 'V', 'A', 'D', 'text']], {4: [], 5: []}
  meta = ['id\tdocument\tcategory\tsubcategory', f'{UNTOLD}\tnews\tSemEval\t']
  for name, sentence in SENTENCES.items():
    split, text, document, category, *of = sentence
    kept = np.array([[int(c) for c in r] for r in of[0] + of[1] if r != '111'])
    sentences.append([name, split, *(f'{x:.2f}' for x in kept.mean(0)), text])
    meta.append(f'{name}\t{document}\t{category}\t ')
  for column, rows in rated.items():
    for name, sentence in [(UNTOLD, (None,) * 4 + (['111'], ['111', '333'])), *SENTENCES.items()]:
      rows += [[name, *r] for r in sentence[column]]
  with open(folder / FILES[0], 'w', newline='', encoding='utf-8') as f:
    csv.writer(f, lineterminator='\n').writerows(sentences)
  for name, rows in zip(FILES[1:3], rated.values(), strict=True):
    (folder / name).write_text('\n'.join(','.join(r) for r in [['id', 'V', 'A', 'D'], *rows]) + '\n')
  (folder / FILES[3]).write_text('\n'.join(meta) + '\n')
  return source
