"""Tables: rows x folds x seeds, their records, intervals, verdicts and rendering."""
