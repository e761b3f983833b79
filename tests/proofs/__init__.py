"""The proofs: each module shows one promise at full size and prints the figures; `./run prove` lists them."""
