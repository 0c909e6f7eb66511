"""What lies here is tested in a copy of the repository that it is added to, see tests/test_sixth_paper.py."""

collect_ignore_glob = ['*']
