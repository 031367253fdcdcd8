"""The ten-line loop: a camera, a bundle, a name. Usage: python watch_door.py bundles/door"""

import sys

import cv2

from edgeface import Recognizer
from edgeface.detector import align, find_faces, open_detector

recognizer, detector, camera = Recognizer(sys.argv[1]), open_detector(), cv2.VideoCapture(0)
while (frame := camera.read()[1]) is not None:
    image = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    for face in find_faces(image, detector):
        aligned = align(image, face, recognizer.bundle.face_input)
        (person,) = recognizer.predict([aligned], prepared=True)
        print(person.identity, f"{person.confidence:.2f}", flush=True)
