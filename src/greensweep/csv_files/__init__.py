"""CSV files of people and of other programs: read as they are meant, and written to be opened.

Every room reads and writes them here, so that one file means the same to all of them.
"""
