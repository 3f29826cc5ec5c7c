"""Scores of explanations: do they fall on the lensed light, does the finder use what they show, have they learnt it?"""
