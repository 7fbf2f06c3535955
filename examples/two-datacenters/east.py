"""Fill the data center east."""

from site_objects import fill

if __name__ == "__main__":
    fill("east", ("10.1.1.10", "10.1.1.99"), "10.1.2.0/24")
