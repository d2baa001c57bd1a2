"""The part of the stand-in for Weights & Biases that takes in artifacts: declared, uploaded file by file, committed."""

from __future__ import annotations

from typing import Any


class FakeArtifacts:
    """Answers what the W&B client asks about artifacts; their files arrive under upload/artifact/NAME."""

    def __init__(self) -> None:
        self.declared: list[dict[str, Any]] = []
        self.committed: list[str] = []

    def answer(self, operation: str | None, variables: dict[str, Any], url: str) -> dict[str, Any] | None:
        """The data of the answer; None for an operation that is not about artifacts."""
        upload = {"uploadUrl": f"{url}/upload/artifact-manifest.json", "uploadHeaders": []}
        manifest = {"artifactManifest": {"id": "m", "file": {"id": "f", **upload}}}
        match operation:
            case "ArtifactType":
                return {"project": None}
            case "CreateArtifact":
                self.declared.append(variables["input"])
                sequence = {"latestArtifact": None}
                return {"createArtifact": {"artifact": {"id": "a", "state": "PENDING", "artifactSequence": sequence}}}
            case "CreateArtifactManifest":
                return {"createArtifactManifest": manifest}
            case "CreateArtifactFiles":
                files = [self._file(file["name"], url) for file in variables["input"]["artifactFiles"]]
                return {"createArtifactFiles": {"files": {"edges": [{"node": file} for file in files]}}}
            case "CommitArtifact":
                self.committed.append(variables["artifactID"])
                return {"commitArtifact": {"artifact": {"id": "a", "digest": self.declared[-1]["digest"]}}}
            case "ArtifactByID":
                return {"artifact": self._described()}
        return None

    def _file(self, name: str, url: str) -> dict[str, Any]:
        where = {"uploadUrl": f"{url}/upload/artifact/{name}", "uploadHeaders": [], "uploadMultipartUrls": None}
        return {"storagePath": name, "artifact": {"id": "a"}, **where}

    def _described(self) -> dict[str, Any]:
        last = self.declared[-1]
        project = {"id": "p", "internalId": "1", "name": "keel", "entity": {"name": "somebody"}}
        sequence = {"__typename": "ArtifactSequence", "name": last["artifactCollectionName"], "project": project}
        nothing = {"ttlDurationSeconds": -2, "ttlIsInherited": True, "tags": [], "historyStep": None, "description": ""}
        when = {"createdAt": "2026-01-01T00:00:00", "updatedAt": None}
        about = {"state": "COMMITTED", "size": 1, "fileCount": 1, "digest": last["digest"], "commitHash": "c"}
        kind = {"artifactType": {"name": last["artifactTypeName"]}, "versionIndex": 0, "metadata": last["metadata"]}
        return {"__typename": "Artifact", "id": "a", "artifactSequence": sequence} | nothing | when | about | kind
