"""What is seen, without torch: colours, cutouts, figures, numbers in words, Markdown tables and HTML pages."""
