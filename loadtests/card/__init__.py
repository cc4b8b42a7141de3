"""One short visit to a CUDA card: its tests, how fast it is, how near to `apply_model`.

`python -m loadtests.card --out FOLDER`. Each part is a process of its own with a limit on its time,
and what it found is in `FOLDER/results.json` as soon as it ends; `log.txt` holds all that was
printed, and a table of the results comes last.
"""
