#include "app/cli.hpp"

int main(int argc, char** argv) { return ballast::app::command_line(argc, argv); }
