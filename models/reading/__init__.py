"""What every service needs to read text with a bundle; it knows of no service, and training is elsewhere."""
