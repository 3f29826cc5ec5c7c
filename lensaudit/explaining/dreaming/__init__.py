"""Feature visualisation: class-generated images, Deep Dream and generated kernel images."""
