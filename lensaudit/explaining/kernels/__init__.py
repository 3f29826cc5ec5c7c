"""What excites each kernel: activation values over a whole set, their extremes, and what they go with."""
