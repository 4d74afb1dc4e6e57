"""Measures folders of panoramas and writes a report.

In the order of an evaluation: `protocol` says what is measured, `sets` finds the panoramas of both folders, `networks`
loads the networks, `measure` measures one panorama or pair after the other, `statistics` gathers the features of a set,
`aggregate` makes the numbers, `report` writes them, and `pipeline` runs it all.
"""
