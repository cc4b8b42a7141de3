"""Sound that people recorded: voices, music, bands. To learn from and to measure; none ships."""
