"""Any suitable game of OpenSpiel, by name: Go, checkers, chess variants and more."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from keel.envs.errors import closest
from keel.envs.protocol import Array
from keel.envs.seeding import generator

LONGEST = 1000  # moves; of the games that OpenSpiel lets run longer, what is not over by then is a draw
MOST_LEGAL = 1024  # moves that a position may have: the search makes room for all; of those known none has 600
KEPT_STATES = 8192  # of OpenSpiel, 100 MB of Go 9x9, where a state takes 12 kB
PLAYOUT_MOVES = 2000  # that are made by lot to learn how a game behaves
PLAYER_AT, LENGTH_AT, MOVES_AT = 0, 1, 3  # the bytes of a row
PASS = "pass"


class BoardPlanes(NamedTuple):
    """Where the stones of OpenSpiel's players 0 and 1 are in what player 0 observes."""

    planes: int  # of an observation of this kind; with another number the board is another one
    stones: tuple[tuple[int, ...], tuple[int, ...]]
    from_bottom: bool = False  # the first row of the planes is the lowest


BOARDS = {
    "breakthrough": BoardPlanes(3, ((0,), (1,))),
    "clobber": BoardPlanes(3, ((0,), (1,))),
    "connect_four": BoardPlanes(3, ((0,), (1,)), from_bottom=True),
    "go": BoardPlanes(4, ((0,), (1,)), from_bottom=True),
    "hex": BoardPlanes(9, ((5, 6, 7, 8), (0, 1, 2, 3))),
    "mnk": BoardPlanes(3, ((2,), (1,))),
    "othello": BoardPlanes(3, ((1,), (2,))),
    "tic_tac_toe": BoardPlanes(3, ((2,), (1,))),
}


class OpenSpielGame:
    """A game of OpenSpiel (Lanctot et al. 2019, "OpenSpiel: A Framework for Reinforcement Learning in Games").

    A row holds the moves since the start, as OpenSpiel numbers them: nothing else says all of, for instance, a game of
    Go, where no position may come back. The states of OpenSpiel that belong to rows are kept, the latest `kept_states`
    of them, so that a move costs a copy of the state before it; where that one has gone the moves are made again from
    the start. Rows alone decide what comes out, and any number of threads may ask.

    Where a player may move twice in a row, the other one passes in between: action A - 1, and there only.

    Planes: OpenSpiel's observation for who is to move, then a plane of ones if that is who did not move first, then,
    where players may move twice, a plane of ones if who is to move has to pass. An observation that has no three
    dimensions is made C planes of one cell, as its numbers are no neighbours of each other.

    Raises:
        ImportError: OpenSpiel is not installed. ValueError: see `load`. RuntimeError, of `play`, `legal` and `observe`:
            a player moves twice in a row, or has more than MOST_LEGAL moves, in a game in which PLAYOUT_MOVES moves by
            lot and OpenSpiel's numbers said otherwise.
    """

    compiled = False
    piece_moves = 0

    def __init__(self, name: str, spec: str, kept_states: int = KEPT_STATES) -> None:
        """Args: name: what Keel calls the game. spec: as OpenSpiel takes it, "go(board_size=9,komi=7.5)"."""
        self.name = name
        self._game = load(spec)
        self._kind = self._game.get_type().short_name
        self._start = self._game.new_initial_state()
        self._first = self._start.current_player()
        passes, self._names_stay = explore(self._game)
        self._pass = self._game.num_distinct_actions() if passes else None
        self.actions = self._game.num_distinct_actions() + passes
        self.most_legal = min(self.actions, MOST_LEGAL)
        self._room = min(self._game.max_game_length(), LONGEST)
        self.most_moves = self._room * (1 + passes)
        self._move_bytes = 1 if self.actions <= 256 else 2
        self.state_size = MOVES_AT + self._room * self._move_bytes
        self._observed = plane_shape(self._game)
        self.planes, self.height, self.width = self._observed
        self.planes += 1 + passes
        self.cell_symmetries = np.arange(self.height * self.width)[None]
        self.action_symmetries = np.arange(self.actions)[None]
        low, high = self._game.min_utility(), self._game.max_utility()
        self._even = (self._game.utility_sum() or 0.0) / 2  # what a draw is worth
        self._most_utility = max(high - self._even, self._even - low)
        self._recent = RecentStates(self._start, self._move_bytes, kept_states)

    def start(self) -> Array:
        return np.frombuffer(self._packed(self._first, b""), np.int8).copy()

    def play(self, states: Array, actions: Array, after: Array, legal: Array, ended: Array, value: Array) -> None:
        legal[:] = False
        packed = []
        for row, action in enumerate(actions.tolist()):
            player, moves = self._unpacked(states[row])
            state = self._recent.get(moves)
            if action != self._pass:
                state, moves = state.child(action), moves + action.to_bytes(self._move_bytes, "little")
                self._recent.put(moves, state)
            player = 1 - player
            packed.append(self._packed(player, moves))
            over = state.is_terminal()
            ended[row] = over or self._is_full(moves)
            value[row] = (state.player_return(player) - self._even) / self._most_utility if over else 0.0
            if not ended[row]:
                legal[row, self._moves_of(state, player)] = True
        after[:] = np.frombuffer(b"".join(packed), np.int8).reshape(after.shape)

    def legal(self, states: Array) -> Array:
        legal = np.zeros((len(states), self.actions), np.bool_)
        for row in range(len(states)):
            player, moves = self._unpacked(states[row])
            state = self._recent.get(moves)
            if not (state.is_terminal() or self._is_full(moves)):
                legal[row, self._moves_of(state, player)] = True
        return legal

    def observe(self, states: Array) -> Array:
        planes = np.zeros((len(states), self.planes, self.height, self.width), np.float32)
        numbers, observation = planes.reshape(len(states), -1), self._observation()
        size = len(observation.tensor)
        for row in range(len(states)):
            player, moves = self._unpacked(states[row])
            state = self._recent.get(moves)
            observation.set_from(state, player)
            numbers[row, :size] = observation.tensor
            planes[row, self._observed[0]] = player != self._first
            if self._pass is not None:
                planes[row, -1] = state.current_player() == 1 - player
        return planes

    def board(self, state: Array, player: int) -> Array:
        """As `Game.board`. Raises: ValueError where it cannot be read from what OpenSpiel observes; see `text`."""
        known = BOARDS.get(self._kind)
        if known is None or known.planes != self._observed[0]:
            raise ValueError(f"{self.name} has no board that could be drawn; as text it can be seen")
        observation = self._observation()
        observation.set_from(self._state(state), 0)
        planes = observation.tensor.reshape(self._observed)
        first, second = (planes[list(of_player)].any(axis=0).astype(np.int8) for of_player in known.stones)
        board = (first - second) * (1 if self._first == 0 else -1)
        return board[::-1] if known.from_bottom else board

    def action_name(self, action: int, player: int) -> str:
        """As `Game.action_name`: OpenSpiel's name of the move; its number where the name depends on the position."""
        if action == self._pass:
            return PASS
        if not self._names_stay:
            return str(action)
        name = self._start.action_to_string(player ^ self._first, action)
        return name.split()[-1].lower() if self._kind == "go" else name  # which begins with the colour

    def text(self, state: Array) -> str:
        """The position [S] as OpenSpiel writes it; below it the legal moves where only the position gives them names."""
        position = self._state(state)
        lines = [str(position).rstrip()]
        if not self._names_stay and not position.is_terminal():
            moves = (f"{action} {position.action_to_string(action)}" for action in position.legal_actions())
            lines.append(f"moves: {', '.join(moves)}")
        return "\n".join(lines)

    def _moves_of(self, state: Any, player: int) -> list[int]:
        """What the player may do in a position in which the game goes on."""
        if state.current_player() != player:
            if self._pass is None:
                raise RuntimeError(
                    f"{self.name}: a player moves twice in a row, which no game by lot had shown:\n{state}"
                )
            return [self._pass]
        moves = state.legal_actions()
        if len(moves) > self.most_legal:
            raise RuntimeError(
                f"{self.name}: {len(moves)} legal moves, at most {self.most_legal} can be searched:\n{state}"
            )
        return moves

    def _is_full(self, moves: bytes) -> bool:
        return len(moves) == self._room * self._move_bytes

    def _state(self, row: Array) -> Any:
        return self._recent.get(self._unpacked(row)[1])

    def _packed(self, player: int, moves: bytes) -> bytes:
        """The row of who is to move, by OpenSpiel's number, and the moves that were made."""
        return (bytes([player]) + len(moves).to_bytes(2, "little") + moves).ljust(self.state_size, b"\0")

    def _unpacked(self, row: Array) -> tuple[int, bytes]:
        data = row.tobytes()
        return data[PLAYER_AT], data[MOVES_AT : MOVES_AT + int.from_bytes(data[LENGTH_AT:MOVES_AT], "little")]

    def _observation(self) -> Any:
        """One a call: it is written to."""
        from open_spiel.python.observation import make_observation

        return make_observation(self._game)


class RecentStates:
    """The states of OpenSpiel that were used last, by the moves that lead there. Nobody may change one."""

    def __init__(self, start: Any, move_bytes: int, most: int) -> None:
        self._start, self._move_bytes, self._most = start, move_bytes, most
        self._states: OrderedDict[bytes, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._states)

    def get(self, moves: bytes) -> Any:
        with self._lock:
            state = self._states.get(moves)
            if state is not None:
                self._states.move_to_end(moves)
                return state
        state = self._start.clone()
        for at in range(0, len(moves), self._move_bytes):
            state.apply_action(int.from_bytes(moves[at : at + self._move_bytes], "little"))
        self.put(moves, state)
        return state

    def put(self, moves: bytes, state: Any) -> None:
        with self._lock:
            self._states[moves] = state
            self._states.move_to_end(moves)
            if len(self._states) > self._most:
                self._states.popitem(last=False)


def load(spec: str) -> Any:
    """The pyspiel.Game that `spec` names.

    Raises:
        ImportError: OpenSpiel is not installed. ValueError: it has no such game or parameter, or the game is not one
            that `Game` describes: two players in turn, all seen, no chance, one wins what the other loses at the end.
    """
    pyspiel = imported()
    name, names = spec.partition("(")[0], pyspiel.registered_names()
    if name not in names:
        raise ValueError(f"game is 'openspiel:{spec}'; OpenSpiel has no game {name!r}{closest(name, names)}")
    try:
        game = pyspiel.load_game(spec)
        check_sizes(spec, game)
        against = objections(pyspiel, game)
        if not against and not game.new_initial_state().legal_actions():
            against = ["nobody can move at its start"]
    except pyspiel.SpielError as error:
        raise ValueError(f"game is 'openspiel:{spec}'; OpenSpiel says: {error}") from error
    if against:
        raise ValueError(
            f"game is 'openspiel:{spec}', which Keel cannot play: {', '.join(against)}; it must be a game of two players "
            "who move in turn and see everything, without chance, in which one wins at the end what the other loses"
        )
    return game


def imported() -> Any:
    try:
        import pyspiel
    except ImportError as error:
        raise ImportError("the games of OpenSpiel need the extra 'games': pip install 'keel-rl[games]'") from error
    return pyspiel


def check_sizes(spec: str, game: Any) -> None:
    """Raises: ValueError for a number that is negative, or 0 where OpenSpiel's own is not: some of them crash it."""
    defaults = game.get_type().parameter_specification
    for key, value in game.get_parameters().items():
        if isinstance(value, int) and value < (0 if defaults.get(key, 0) == 0 else 1):
            raise ValueError(
                f"game is 'openspiel:{spec}'; {key} is {value}, such as {defaults.get(key)} would be right"
            )


def objections(pyspiel: Any, game: Any) -> list[str]:
    """What keeps a game of OpenSpiel from being one that `Game` describes."""
    kind = game.get_type()
    utilities = (pyspiel.GameType.Utility.ZERO_SUM, pyspiel.GameType.Utility.CONSTANT_SUM)
    found = {
        f"it is for {game.num_players()} player{'s' * (game.num_players() != 1)}": game.num_players() != 2,
        "players move at the same time": kind.dynamics != pyspiel.GameType.Dynamics.SEQUENTIAL,
        "chance has a part in it": kind.chance_mode != pyspiel.GameType.ChanceMode.DETERMINISTIC,
        "players do not see everything": kind.information != pyspiel.GameType.Information.PERFECT_INFORMATION,
        "one does not win what the other loses": kind.utility not in utilities,
        "rewards come before the end": kind.reward_model != pyspiel.GameType.RewardModel.TERMINAL,
        "it has no observation tensor": not kind.provides_observation_tensor,
    }
    return [objection for objection, holds in found.items() if holds]


def suitable_games() -> list[str]:
    """The games of OpenSpiel that can be played as they are, without parameters. Raises: ImportError: as `load`."""
    pyspiel = imported()
    loadable = (kind.short_name for kind in pyspiel.registered_games() if kind.default_loadable)
    return [name for name in loadable if not objections(pyspiel, pyspiel.load_game(name))]


def explore(game: Any) -> tuple[bool, bool]:
    """Whether a player ever moves twice in a row, and whether moves have the names that they would have at the start,
    as far as PLAYOUT_MOVES moves by lot show: always the same ones."""
    chance = generator(0, "openspiel", 0)
    twice, names_stay = False, True
    names: dict[tuple[int, int], str] = {}
    state = game.new_initial_state()
    for _ in range(PLAYOUT_MOVES):
        player, legal = state.current_player(), state.legal_actions()
        action = legal[chance.integers(len(legal))]
        name = state.action_to_string(player, action)
        names_stay = names_stay and names.setdefault((player, action), name) == name
        state.apply_action(action)
        twice = twice or state.current_player() == player
        if state.is_terminal():
            state = game.new_initial_state()
    return twice, names_stay and are_names_at_start(game, names)


def are_names_at_start(game: Any, names: dict[tuple[int, int], str]) -> bool:
    """Whether the start calls the moves (player, action) by these names, or knows them at all."""
    start = game.new_initial_state()
    try:
        return all(start.action_to_string(*move) == name for move, name in names.items())
    except imported().SpielError:
        return False


def plane_shape(game: Any) -> tuple[int, int, int]:
    """C, H and W of OpenSpiel's observation."""
    shape: Iterable[int] = game.observation_tensor_shape()
    match tuple(shape):
        case planes, columns, rows if game.get_type().short_name == "hex":  # which names them the wrong way round
            return planes, rows, columns
        case planes, height, width:
            return planes, height, width
    return int(np.prod(game.observation_tensor_shape())), 1, 1
