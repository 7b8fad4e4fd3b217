"""A page to play with: a lifter runs in the browser, and answers while keypoints are dragged.

`page` puts it together, of the `starts`, the `network` and the `runtime`. Nothing is imported here: what only asks for
the runtime needs no torch.
"""
