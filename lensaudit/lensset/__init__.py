"""lensset"""
