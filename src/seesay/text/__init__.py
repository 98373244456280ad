"""Words and ids: the tokeniser that training and scoring share, and the vocabulary. Needs the standard library only."""
