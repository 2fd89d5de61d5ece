"""What joins rooms that must not know each other: each class satisfies one room's port with another room's service.

rides (what dispatch needs), trips (what trips needs), drivers (what the gateway needs), people and edge (what the HTTP
edge needs), board (which driver is on which trip now).
"""
