"""What one box bears: what each stage costs, how long jobs will wait, and what to buy next."""
