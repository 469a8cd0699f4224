// What statements about a job by its id say for "it has not ended".
//
// Not `live = 1`, which is the same: PostgreSQL then takes the index of the live ones, which its statistics may call empty, for the cheapest way to the row, and
// reads through all that live to find it, for every job of a backlog anew.
#pragma once

#define BALLAST_JOB_LIVES "state < 2"
