"""A board game as a Gymnasium environment: one player is the agent, the other belongs to the world."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

from keel.envs.errors import closest
from keel.envs.games.games import make_game
from keel.envs.games.opponents import find_opponent, play
from keel.envs.games.text import board_text, sides
from keel.envs.protocol import ACTION_MASK, Array

SEATS = ("first", "second", "any")
ILLEGAL_MOVES = ("raise", "lose")
RENDER_MODES = ("rgb_array", "ansi")


class BoardGame(gymnasium.Env[dict[str, Array], np.int64]):
    """A board game of two players, of which the agent is one and the world plays the other.

    Observation, Dict:

    | key           | space                           | meaning                                                       |
    |---------------|---------------------------------|---------------------------------------------------------------|
    | `observation` | Box [C H W] float32, 0 to 1     | planes of who is to move: own stones, the opponent's, more  |
    | `action_mask` | MultiBinary [A] int8            | the legal moves, 1 = legal; all 1 once the game has ended     |

    The observation after the last move is that of the player who would be next. Board and moves are turned so that
    both seats look alike: in Breakthrough the mover goes up, in Hex the mover joins top and bottom.

    Actions, Discrete A, as the game numbers them: the cell, row by row from the top left (Tic-tac-toe, Gomoku, Hex,
    Othello, where H*W is to pass and legal only where no other move is); the column (Connect Four); 3 x the cell moved
    from + 0 left and forward, 1 forward, 2 right and forward (Breakthrough); 73 x the cell + the kind of move (chess).
    Option illegal_move: what a move that is not legal does, "raise" a ValueError or "lose" the game at once. The ids
    that Keel registers lose, as an agent that knows no masks, or a checker of environments, tries anything.

    Reward: 1 for a game won, -1 for one lost, 0 for a draw and for every move that ends nothing.
    Start: the empty board, or the game's opening position. Option seat: whether the agent moves "first" or "second", or
    "any", by lot in each episode. Where it is second, the opponent has moved already.
    Terminated: the game has ended. Truncated: never.
    Option opponent: "random" plays any legal move; "one_ply" wins at once if it can, else moves so that you cannot
    win at once, if there is such a move, else plays any; "rollouts:N" searches with N games by lot a move;
    "run:RUN" and "run:RUN:SIMULATIONS" search with the network of a run of self-play, which leaves nothing to chance:
    who plays the same moves against it sees the same game.
    Option game: one of `keel.envs.games.games.GAMES` or `OPTIONAL_GAMES`, or "openspiel:NAME".

    Raises:
        ValueError: an option that is none of these; a step before the first reset or after the end.
        FileNotFoundError, KeelError: the opponent's run is not there, or cannot be read.

    Source: the rules of each game, keel/envs/games/README.md.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": list(RENDER_MODES), "render_fps": 1}  # pyright: ignore

    def __init__(
        self,
        game: str = "connect_four",
        opponent: str = "random",
        seat: str = "any",
        illegal_move: str = "raise",
        render_mode: str | None = None,
    ) -> None:
        check_choice("seat", seat, SEATS)
        check_choice("illegal_move", illegal_move, ILLEGAL_MOVES)
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise ValueError(f"render_mode is {render_mode!r}, it must be 'rgb_array', 'ansi' or None")
        self.game = make_game(game)
        self._opponent = find_opponent(opponent, self.game)
        self._seat = seat
        self._illegal_loses = illegal_move == "lose"
        self.render_mode = render_mode
        planes = (self.game.planes, self.game.height, self.game.width)
        self.observation_space: Any = spaces.Dict(
            {"observation": spaces.Box(0, 1, planes, np.float32), ACTION_MASK: spaces.MultiBinary(self.game.actions)}
        )
        self.action_space: Any = spaces.Discrete(self.game.actions)
        self._ended = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        super().reset(seed=seed)
        self._agent = int(self.np_random.integers(2)) if self._seat == "any" else SEATS.index(self._seat)
        self._player = 0  # who is to move
        self._state = self.game.start()
        self._legal = self.game.legal(self._state[None])[0]
        self._ended = False
        self._winner: int | None = None
        self._last: tuple[int, int] | None = None  # the last action, and who made it
        if self._agent == 1:
            self._move(self._opponent(self.game, self._state, self.np_random))
        return self._observe(), {}

    def step(self, action: Any) -> tuple[dict[str, Array], float, bool, bool, dict[str, Any]]:
        if self._ended:
            raise ValueError("the game has ended or not begun: reset comes before a step")
        if not (0 <= action < self.game.actions and self._legal[action]):
            if not self._illegal_loses:
                raise ValueError(self._about_illegal(action))
            self._ended, self._winner = True, 1 - self._agent
            return self._observe(), -1.0, True, False, {}
        reward = 0.0 - self._move(int(action))  # what the move is worth to the opponent is the agent's loss
        if not self._ended:
            reward = self._move(self._opponent(self.game, self._state, self.np_random))
        return self._observe(), reward, self._ended, False, {}

    def render(self) -> Any:
        """The board, and below it who the agent is and who is to move: a picture [H W 3] uint8 that is 720 wide and
        as high as the board needs, or text, in which X moved first."""
        if self.render_mode is None:
            return None
        if self.render_mode == "rgb_array":
            return self._picture()
        you, mover = (sides(self.game)[player] for player in (self._agent, self._player))
        state = "the game has ended" if self._ended else f"{mover} to move"
        return f"{board_text(self.game, self._state, self._player)}\nyou are {you}, {state}\n"

    def _move(self, action: int) -> float:
        """Make a legal move; returns what the game is now worth to the player who is next."""
        played = play(self.game, self._state[None], np.array([action]))
        self._state, self._legal = played.after[0], played.legal[0]
        self._ended = bool(played.ended[0])
        self._last = action, self._player
        self._player = 1 - self._player
        value = float(played.value[0])
        if value:
            self._winner = self._player if value > 0 else 1 - self._player
        return value

    def _observe(self) -> dict[str, Array]:
        mask = np.ones(self.game.actions, np.int8) if self._ended else self._legal.astype(np.int8)
        return {"observation": self.game.observe(self._state[None])[0], ACTION_MASK: mask}

    def _picture(self) -> Array:
        from keel.envs.games.draw import picture, status  # needs pygame

        title = status(self.game, player=self._player, agent=self._agent, ended=self._ended, winner=self._winner)
        legal = None if self._ended else self._legal
        return picture(self.game, self._state, self._player, legal=legal, last=self._last, title=title)

    def _about_illegal(self, action: Any) -> str:
        legal = ", ".join(
            f"{a} ({self.game.action_name(a, self._player)})" for a in np.flatnonzero(self._legal).tolist()
        )
        known = 0 <= action < self.game.actions
        name = f" ({self.game.action_name(int(action), self._player)})" if known else ""
        return f"the move {action}{name} is not legal in {self.game.name}; legal: {legal}"


def check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} is {value!r}{closest(str(value), known)}; it must be one of {', '.join(known)}")
