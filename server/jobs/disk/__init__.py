"""What of jobs lies where on the disks, and how much room there is for it."""
