"""Secrets stay out of every file and every line.

`names` and `texts` decide what a secret is, by its name and by its form; `known` keeps the values
that were found so, and masks them wherever they turn up; `output` masks what is logged and printed.
"""
