"""Reading every table a user hands over: catalogues, grades, scores.

CSV with commas, semicolons or tabs, columns parted by blanks, ECSV, FITS, VOTable and Parquet are told apart by their
first bytes. Sizes are bounded before anything is built. What is wrong becomes one line with file, column and row.
"""

from lensaudit.tables.reading import parquet_column, read_table
from lensaudit.tables.table import FORMATS, Column, RowsDigest, Table, kept_table, same_id, sealed_table

__all__ = [
    "FORMATS",
    "Column",
    "RowsDigest",
    "Table",
    "kept_table",
    "parquet_column",
    "read_table",
    "same_id",
    "sealed_table",
]
