"""Fill the data center west."""

from site_objects import fill

if __name__ == "__main__":
    fill("west", ("10.1.1.100", "10.1.1.199"), "10.1.3.0/24")
