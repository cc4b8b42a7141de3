"""The Audio Pipeline API: its endpoints, its words on the wire, its document."""
