"""What is wrong with this machine's set-up, in plain words. `examination.examine` asks it all; nothing is changed."""
