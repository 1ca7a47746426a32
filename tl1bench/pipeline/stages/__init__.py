"""The boxes of the pipeline, one file each: only here are files read and written.

sources → train → compact → export → measure → collect → report; stages never import each other.
"""
