"""`coseg view`: a page on the loopback with a slide, what was found in it, its tables, and a pen.

The page is plain JavaScript in `page/`. It gets tables as arrays, and answers to corrections from `service`.
"""
