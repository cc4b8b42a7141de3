"""When sound belongs where in time: edit lists, a container's clock, and what damage tore out.

Pure arithmetic on seconds and counts of samples: it must not know containers, or what decodes them.
"""
