"""How well the verbs do on a real small model, beside other prompts for the same work.

sets.py      labelled rows, fixed beforehand          prompts.py   ways to ask, ours and those that peers take
reading.py   what an answer's probabilities say       __main__.py  asks, counts, and prints the table
"""
