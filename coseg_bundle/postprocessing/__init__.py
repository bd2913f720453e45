"""From the network's maps to nuclei and tissue regions."""
