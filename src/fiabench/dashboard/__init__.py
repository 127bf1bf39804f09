"""The pages of a history: what got slower, by how much, how sure, since which commit, and by whose fault.

Static files that open from file:// and ask no other host for anything. What a run directory holds is read once
(:mod:`.digest`) and kept beside the history; :mod:`.build` makes the pages from that.
"""
