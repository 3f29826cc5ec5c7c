"""Occlusion maps: captum's engine, our exact incremental one, and their files and pictures."""
