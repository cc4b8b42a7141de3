"""What files say of themselves: chunks, boxes and frame headers, one module a format.

Bytes and positions alone. Neither a decoder nor numpy may be imported here: any process may ask
what a file is. What is broken in a header is left out.
"""
