// Headers that nearly every test needs; built once for each room's tests, together with the room's own house (tests/CMakeLists.txt).
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "base/json.hpp"
#include "base/pch.hpp"
#include "base/sim_loop.hpp"
