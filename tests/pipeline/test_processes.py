import os

import pytest

from tl1bench.pipeline import processes


def square(job: int, tick: processes.Tick) -> tuple[int, int]:
    tick(0.5)
    return job * job, os.getpid()


def fail(job: int, tick: processes.Tick) -> None:
    tick(0.1)
    raise ValueError(f"job {job}")


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_jobs(workers: int) -> None:
    done = processes.each(square, [1, 2, 3], workers, "squares", sizes=[1, 3, 2])
    assert [value for value, _ in done] == [1, 4, 9]


def test_one_worker_runs_right_here_and_more_do_not() -> None:
    assert {pid for _, pid in processes.each(square, [1, 2], 1, "here")} == {os.getpid()}
    assert os.getpid() not in {pid for _, pid in processes.each(square, [1, 2], 2, "there")}


def test_no_jobs_give_no_results() -> None:
    assert processes.each(square, [], "auto", "nothing") == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_job_reaches_the_caller(workers: int) -> None:
    with pytest.raises(ValueError, match="job 7"):
        processes.each(fail, [7, 7], workers, "failing")
