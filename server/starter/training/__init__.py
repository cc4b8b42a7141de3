"""How the starter's networks learn: banks of songs, examples, the loss, the runs, the gains."""
