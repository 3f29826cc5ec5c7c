"""``import lensaudit as la``: what the commands do, as functions that need no folder.

Every function takes the finder first and the data second, both as a name, a path or an object, works in memory where
``out`` is left away, and returns a result that a notebook shows. Errors speak of arguments. The names are handed on by
`lensaudit` itself, which imports them when they are used.
"""
