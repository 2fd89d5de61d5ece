"""What joins rooms that must not know each other: each class satisfies one room's port with another room's service.

rides (what dispatch needs), trips (what trips needs), drivers (what the gateway needs), people and edge (what the HTTP
edge needs), apps (the way to drivers and riders), elsewhere (other hosts), lanes (whose searches are done here),
 duty (which trip keeps a driver busy),
board (the operators' figures).
"""
