"""From votes and ratings of people to labels."""
