"""What a separation is worth: measures, baselines, tables and a picture."""
