"""Attribution of the score to pixels: captum's methods behind one call."""
