"""The contract tests for the store of folderstore.py: python -m twisted.trial foldertests"""

import shutil

from folderstore import FolderPersistence
from twisted.internet.defer import maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from sseserver.stores.persistent import PersistentStore
from sseserver.testing import StoreContract


class FolderStoreTests(StoreContract, SynchronousTestCase):
    survives = True  # what is stored outlives the process
    folder = None

    def makeStore(self, window):
        self.folder = self.folder or self.mktemp()
        persistence = FolderPersistence(self.folder, maybeDeferred)  # without a thread
        return PersistentStore(self.clock, persistence, window)

    def crash(self):
        copy = self.mktemp()
        shutil.copytree(self.folder, copy)  # as the process would have left it
        self.result(self.store.stop())
        self.folder = copy
