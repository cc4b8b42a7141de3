"""What carries tasks between processes: pools, workers, their channel, messages, scratch files.

`pools` alone knows LitServe's inside. Nothing here knows jobs, HTTP, the database or what a stage
does.
"""
